"""Settings for the tests of clients."""

import pytest


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings of this machine."""
    for name in ("MJRELAY_API_KEY", "MJRELAY_BASE_URL", "MJRELAY_ZHONGZHUAN_API_KEY"):
        monkeypatch.delenv(name, raising=False)
