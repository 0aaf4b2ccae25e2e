"""
The conformance suite: it judges whether a relay keeps its contract.

Its packages may import mjrelay's contracts and what these import, but no client, no doctor and no command.
"""
