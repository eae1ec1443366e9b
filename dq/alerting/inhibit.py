"""Inhibition: what is open already and makes another incident no news.

A rule holds for an incident that its target side matches, by a source that its source side matches and that has the
same value in every label of ``equal``:

    the incident matches    the source matches      muted
    ----------------------  ----------------------  --------------------------------------------
    not the target side     anything                no
    the target side only    the source side         yes
    both sides              the source side only    yes
    both sides              both sides              no: two that match both would mute each other

So an incident never mutes itself. A label that is missing is an empty one, here as there: with ``equal = ["org"]`` two
incidents without an org are of the same org.
(Source: Alertmanager, ``inhibit/inhibit.go``, Apache-2.0. Of several sources with the same labels in ``equal`` it looks
at the one that ends last; here each is looked at.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import frozen

from dq.alerting.matcher import Matcher, all_match

Labels = Mapping[str, str]


@frozen
class InhibitRule:
    """A class of incidents that makes another class no news.

    Attributes:
        source: matches what mutes; all must hold.
        target: matches what is muted; all must hold.
        equal: labels that both must have in common.
        name: how people call it; may be empty.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()
    name: str = ""

    def inhibitor(self, labels: Labels, sources: Iterable[Labels]) -> Labels | None:
        """Return the first of ``sources`` that mutes an incident with ``labels`` by this rule."""
        if not all_match(self.target, labels):
            return None
        both = all_match(self.source, labels)
        for other in sources:
            same = all(labels.get(name, "") == other.get(name, "") for name in self.equal)
            if same and all_match(self.source, other) and not (both and all_match(self.target, other)):
                return other
        return None


def inhibitor(rules: Iterable[InhibitRule], labels: Labels, sources: Iterable[Labels]) -> Labels | None:
    """Return the source that mutes an incident with ``labels``, the very mapping that was given; None: none does.

    Args:
        rules: the first one that holds decides.
        labels: of the incident.
        sources: the labels of what is open in its environment, with or without the incident itself.
    """
    known = tuple(sources)
    return next((found for rule in rules if (found := rule.inhibitor(labels, known)) is not None), None)
