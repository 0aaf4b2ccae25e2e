"""
The conformance suite: judge whether a relay keeps its contract.

Its packages import `mjrelay.contract` and the packages below it, never the client, the doctor or the command.
"""
