"""Relays that return the single images beside the grid: all are read, and all commands accept them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import forked
import pytest

from mjrelay import Relay, State
from mjrelay.testing import mock

if TYPE_CHECKING:
    from pathlib import Path

KEY = "sk-the-key-of-the-single-images"
GRID = "https://cdn.example/grid.png"
SINGLE = [f"https://cdn.example/{number}.png" for number in range(1, 5)]
OBJECTS = [{"url": link} for link in SINGLE]
TASK = {
    "id": "1700000000000001",
    "action": "IMAGINE",
    "status": "SUCCESS",
    "progress": "100%",
    "imageUrl": GRID,
}
RELAYS = ("octopusx", "cometapi", "deerapi", "newapi")
SHAPES = {
    "links": {"imageUrls": SINGLE},
    "objects": {"imageUrls": OBJECTS},
    "snake-links": {"image_urls": SINGLE},
    "snake-objects": {"image_urls": OBJECTS},
    "both": {"imageUrls": OBJECTS, "image_urls": SINGLE},
    "grid-again": {"imageUrls": [GRID, *SINGLE]},
}


@pytest.mark.parametrize("name", RELAYS)
@pytest.mark.parametrize("extra", SHAPES.values(), ids=SHAPES)
def test_the_grid_comes_first_and_each_link_once(name: str, extra: dict[str, Any]) -> None:
    """Links and objects are read under either key; a link that occurs twice counts once."""
    with Relay(name, KEY, base_url="http://127.0.0.1:9") as relay:
        task = relay.read(json.dumps(TASK | extra).encode())
        running = relay.read(json.dumps(TASK | extra | {"status": "IN_PROGRESS"}).encode())
    assert task.images == (GRID, *SINGLE)
    assert (running.images, running.previews) == ((), (GRID, *SINGLE))


@pytest.mark.parametrize(
    "extra", [{}, {"cdnImage": ""}, {"cdnImage": GRID}], ids=["absent", "empty", "there"]
)
def test_the_other_address_of_the_grid_stands_in_for_it(extra: dict[str, Any]) -> None:
    """At ttapi, discordImage is read where cdnImage is not set, and is no second grid where it is."""
    data = {"jobId": "1", "action": "imagine", "discordImage": "https://d.example/g.png", "images": SINGLE}
    document = {"status": "SUCCESS", "message": "", "jobId": "1", "data": data | extra}
    with Relay("ttapi", KEY, base_url="http://127.0.0.1:9") as relay:
        task = relay.read(json.dumps(document).encode())
    first = GRID if extra.get("cdnImage") else "https://d.example/g.png"
    assert task.images == (first, *SINGLE)


@pytest.mark.parametrize("name", ["octopusx", "cometapi"])
def test_such_a_relay_is_examined_and_judged_clean(name: str, tmp_path: Path) -> None:
    """The contract that doctor recommends reads all images, and conform holds nothing against them."""
    key = "image_urls" if name == "cometapi" else "imageUrls"
    action = {
        "target": "$.paths['/mj/task/{id}/fetch'].get.responses['200'].content.*.examples.succeeded.value",
        "update": {key: OBJECTS},
    }
    overlay = tmp_path / "single.json"
    head = {"overlay": "1.1.0", "info": {"title": "Single", "version": "1"}, "actions": [action]}
    overlay.write_text(json.dumps(head), encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "MJRELAY_API_KEY": KEY}
    with mock(name, overlays=[overlay], key=KEY) as served:
        task_id = served.known[State.SUCCEEDED]
        url = f"{served.base_url}/mj/task/{task_id}/fetch"
        examined = json.loads(forked.run(["doctor", url, "--json"], environment).stdout)
        recommended = examined["alike"]
        assert name in recommended
        for one in recommended:
            with Relay(one, KEY, base_url=served.base_url) as relay:
                found = relay.fetch(task_id).images[1:]
                assert found == tuple(one.replace("https://cdn.example", served.base_url) for one in SINGLE)
        arguments = ["conform", name, "--base-url", served.base_url, "--profile", "all", "--strict"]
        tasks = [f"--task={known}={state.value}" for state, known in served.known.items()]
        judged = json.loads(forked.run([*arguments, *tasks, "--format", "json"], environment).stdout)
    assert judged["footer"]["verdict"] == "conformant"
    assert not [row for row in judged["rows"] if row["outcome"] in {"fail", "error"}]
