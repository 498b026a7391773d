"""The policy engine: policies in, something that decides out; one package for each way of running them."""

from __future__ import annotations

from collections.abc import Sequence

from ripstop.backends.python import Compiled
from ripstop.core.errors import ConfigurationError
from ripstop.core.vocabulary import Vocabulary
from ripstop.policy import Policy, make_bundle

__all__ = ["ENGINES", "Compiled", "compile"]

ENGINES = ("python",)


def compile(  # noqa: A001 (the public name)
    policies: Policy | Sequence[Policy],
    engine: str = "python",
    *,
    vocabulary: Vocabulary | None = None,
    capabilities: Sequence[str] | None = None,
) -> Compiled:
    """Compile policies for one agent.

    Args:
        policies: one, or a bundle in the order in which evidence is to be listed.
        engine: how to run them; `python` is the only one yet.
        vocabulary: the agent's; without it the most derived one among the policies'.
        capabilities: the agent's; policies that do not apply to it are left out. None is unknown, and what is
            unknown applies.

    Raises:
        ConfigurationError: C0003 for an engine that is not there.
        PolicyError: E0312 and E0313 for policies that do not fit together.
    """
    if engine not in ENGINES:
        raise ConfigurationError(
            f"there is no engine `{engine}`", code="C0003", hint=f"there is {', '.join(ENGINES)}"
        )
    given = (policies,) if isinstance(policies, Policy) else tuple(policies)
    return Compiled(make_bundle(given, vocabulary, capabilities))
