"""The soak of the engines goes on where it ended."""

from engine_soak import Progress, main


def test_a_soak_that_was_ended_goes_on_from_its_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "soak.json"
    monkeypatch.setattr("engine_soak.PROGRAMS", 2)
    monkeypatch.setattr("engine_soak.TRACES", 5)
    for pairs in ("10", "20"):
        monkeypatch.setattr("sys.argv", ["soak", "--seed", "7", "--pairs", pairs, "--progress", str(path)])
        main()
    known = Progress.of(path, 7)
    assert (known.batches, known.pairs) == (2, 20)
    assert sum(known.counts.values()) >= 20
    assert Progress.of(path, 8).pairs == 0
    assert "20 of 20 pairs" in capsys.readouterr().out
