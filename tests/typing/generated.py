"""The types of generated clients, one of each shape; checked, and never run."""

from __future__ import annotations

from typing import assert_type

from mjrelay_clients import mjproxy, trueai, ttapi, zhongzhuan
from mjrelay_clients.mjproxy.api.task import fetch_task as open_task
from mjrelay_clients.mjproxy.models import Task as OpenTask
from mjrelay_clients.trueai.api.task import fetch_task as empty_task
from mjrelay_clients.trueai.models import Task as EmptyTask
from mjrelay_clients.ttapi.api.task import fetch_task as enveloped_task
from mjrelay_clients.ttapi.models import TaskEnvelope
from mjrelay_clients.zhongzhuan.api.task import fetch_seed, fetch_task, list_tasks
from mjrelay_clients.zhongzhuan.models import (
    AuthError,
    Button,
    Task,
    TaskError,
    TaskIds,
    TaskSeed,
    TaskStatus,
)


def a_path_a_batch_and_a_seed(client: zhongzhuan.AuthenticatedClient) -> None:
    task = fetch_task.sync("1", client=client)
    assert_type(task, Task)
    assert_type(task.status, None | str | TaskStatus | zhongzhuan.Unset)
    assert_type(task.buttons, list[Button] | None | zhongzhuan.Unset)
    assert_type(list_tasks.sync(client=client, body=TaskIds(ids=["1"])), list[Task])
    assert_type(fetch_seed.sync("1", client=client), TaskSeed)
    assert_type(fetch_task.sync_detailed("1", client=client).parsed, AuthError | Task | TaskError | None)


def a_query_and_an_envelope(client: ttapi.AuthenticatedClient) -> None:
    assert_type(enveloped_task.sync(client=client, job_id="1"), TaskEnvelope)


async def optional_keys(client: mjproxy.Client, other: trueai.AuthenticatedClient) -> None:
    assert_type(open_task.sync("1", client=client), OpenTask)
    assert_type(await empty_task.asyncio("1", client=other), EmptyTask | None)
