"""The values of a vocabulary."""

from ripstop.core.vocabulary import ActionSpec, SignalSpec, Vocabulary


def test_failsafe_actions_come_in_their_order() -> None:
    vocabulary = Vocabulary(
        "v",
        actions={
            "land": ActionSpec("land", failsafe=1),
            "go": ActionSpec("go"),
            "home": ActionSpec("home", failsafe=0),
        },
    )
    assert vocabulary.failsafes == ("home", "land")


def test_a_vocabulary_descends_from_its_ancestors() -> None:
    child = Vocabulary("child", "root", lineage=("child", "root"))
    assert child.descends_from("root")
    assert child.descends_from("child")
    assert not child.descends_from("other")


def test_the_digest_follows_the_content() -> None:
    one = Vocabulary("v", signals={"x": SignalSpec("x", unit="m")})
    same = Vocabulary("v", signals={"x": SignalSpec("x", unit="m")})
    other = Vocabulary("v", signals={"x": SignalSpec("x", unit="km")})
    assert one.digest == same.digest != other.digest
