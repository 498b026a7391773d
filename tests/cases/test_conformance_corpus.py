"""The corpus through every engine: decisions, evidence, reasons; and the load errors."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ripstop.backends import ENGINES
from ripstop.backends import compile as compile_policies
from ripstop.core.errors import PolicyError
from ripstop.core.sample import value_from_json
from ripstop.policy import PolicyRejectedError, load, load_vocabulary, make_bundle, reference

HERE = Path(__file__).parent


def cases(kind: str) -> list[object]:
    return list(found(kind))


def found(kind: str) -> Iterator[object]:
    for path in sorted(HERE.glob("*.json")):
        corpus = json.loads(path.read_text())
        for case in corpus["cases"]:
            if kind in case:
                yield pytest.param(corpus["vocabularies"], case, id=case["name"].replace(" ", "-"))


def written_out(document: dict[str, object], vocabularies: dict[str, object]) -> dict[str, object]:
    named = document.get("vocabulary")
    return {**document, "vocabulary": vocabularies[named]} if named in vocabularies else document


def gaps(engine: str) -> dict[str, str]:
    path = HERE.parent / "exceptions" / f"{engine}.toml"
    return tomllib.loads(path.read_text()) if path.exists() else {}


@pytest.mark.parametrize("engine", ["reference", *ENGINES])
@pytest.mark.parametrize(("vocabularies", "case"), cases("expect"))
def test_a_case_is_decided_as_written(vocabularies, case, engine):
    documents = case.get("policies") or [case["policy"]]
    policies = [load(written_out(document, vocabularies)) for document in documents]
    bundle = make_bundle(policies)
    gap = gaps(engine).get(case["name"])
    for expected in case["expect"]:
        watching = compile_policies(policies)
        state = watching.start()
        for t_us, signals in expected.get("observed", ()):
            state = watching.observe(state, value_from_json(signals), t_us)
        arguments = (
            expected["action"],
            value_from_json(expected.get("context", {})),
            expected.get("t_us", 0),
            state,
        )
        if engine == "reference":
            decision = reference.decide(bundle, *arguments)
        else:
            try:
                decision = compile_policies(policies, engine).decide(*arguments)
            except PolicyError as refused:
                assert gap is not None, f"{engine} has no gap declared: {refused}"
                assert refused.code == "E0315"
                continue
        found = {
            "verdict": decision.verdict.word,
            "limits": [list(limit) for limit in decision.limits],
            "reasons": [reason.code for reason in decision.reasons],
            "evidence": [[evidence.read, evidence.true] for evidence in decision.evidence],
        }
        wanted = {key: value for key, value in expected.items() if key in found}
        is_right = {key: found[key] for key in wanted} == wanted
        assert is_right is (gap is None), (
            f"{expected}: got {found}" if gap is None else f"the gap has closed: {gap}"
        )


@pytest.mark.parametrize(("vocabularies", "case"), cases("errors"))
def test_a_bad_policy_is_refused_with_its_codes(vocabularies, case):
    with pytest.raises(PolicyRejectedError) as caught:
        load(written_out(case["policy"], vocabularies))
    assert sorted(finding.code for finding in caught.value.findings) == case["errors"]


def test_a_vocabulary_of_the_corpus_loads():
    corpus = json.loads((HERE / "units.json").read_text())
    assert load_vocabulary(corpus["vocabularies"]["v"]).failsafes == ("home", "land")
