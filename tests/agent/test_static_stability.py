"""With its ground killed for good a fleet decides as before, after restarts too (the long run: `week.py`)."""

from week import compare


def test_a_fleet_without_a_ground_decides_as_one_whose_ground_wants_nothing_new(tmp_path):
    found = compare(tmp_path, agents=2, minutes=240, seed=3, restart=1 / 60)
    assert found.differences == 0
    assert found.restarts >= 4
    expected = {
        "ALLOW",
        "incident/no-parcels:denied",
        "drone/admission:denied",
        "drone/payload-limit:outside_limit",
    }
    assert expected <= found.kinds.keys()
    assert any(kind.endswith("unknown") for kind in found.kinds), "readings were missing, too"
    assert found.releases == {1}
