"""
Waiting that survives crashes and deploys, on many machines: a queue of tasks in SQLite or Postgres.

It runs on DBOS Transact, of the extra ``durable``. A worker is ``mjrelay durable worker MODULE:QUEUE``.
"""

from mjrelay.durable.queue import Backlog, TaskQueue
from mjrelay.durable.worker import Worker

__all__ = ["Backlog", "TaskQueue", "Worker"]
