"""The page of `tagloom tune`: trade-offs, and the photos that would change sides."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tagloom.cli.page import escaped, jpeg_uri, line_chart, page
from tagloom.errors import TagloomError

if TYPE_CHECKING:
    from tagloom.client import Clients
    from tagloom.v1 import filter_pb2

__all__ = ["tune_page"]

_PREVIEW = 320
_SHOWN = 48
"""photos of the collection that change sides"""
_SHOWN_OF_CHECK = 6
_SAID = {0: "", 1: "keep", 2: "reject"}


def tune_page(
    clients: Clients,
    request: filter_pb2.TuneProfileRequest,
    proposal: filter_pb2.TuneProfileResponse,
) -> str:
    """HTML in one file. Photos that have no preview any more are named without one."""
    photos = _Photos(clients, request, proposal)
    aim = f"holds a precision of {request.precision:.0%}" if request.precision else "maximises F1"
    body = "\n".join(
        [
            f"<h1>Thresholds for {escaped(request.collection.removeprefix('collections/'))}</h1>",
            f'<p class="note">From {proposal.keep_count:,} photos marked keep and '
            f"{proposal.reject_count:,} marked reject; a proposal that {aim}. Precision: of the "
            "photos that stay, the share that should. Recall: of those that should stay, the share "
            "that does. Intervals are 95 %.</p>",
            _tiles(proposal),
            *(f'<div class="advice">{escaped(sentence)}</div>' for sentence in proposal.advice),
            "<h2>The proposal</h2>",
            _table(proposal),
            "<h2>Trade-offs</h2>",
            '<p class="note">All checks together: what is within reach on the marks. Each check '
            "alone: what its threshold would do if no other were asked. Both are seen on the marks "
            "that chose them; expect less of other photos.</p>",
            '<p class="key"><b class="p">precision</b>, <b class="r">recall</b>; dashed: the '
            "threshold before, solid: proposed.</p>",
            f'<div class="charts">{_frontier(proposal)}'
            f"{''.join(_curve(check) for check in proposal.checks if len(check.curve) > 1)}</div>",
            f"<h2>Photos that change sides: {proposal.change_count:,}</h2>",
            _changes(proposal, photos),
            *(_of_check(check, photos) for check in proposal.checks if check.change_count),
        ]
    )
    return page(f"Thresholds for {request.collection}", body)


class _Photos:
    """Previews, each fetched once."""

    def __init__(
        self,
        clients: Clients,
        request: filter_pb2.TuneProfileRequest,
        proposal: filter_pb2.TuneProfileResponse,
    ) -> None:
        self._clients, self._request, self._proposal = clients, request, proposal
        self._known: dict[str, str] = {}

    def card(self, change: filter_pb2.SideChange) -> str:
        """A photo, where it goes, and what the person says."""
        said = _SAID.get(change.said, "")
        agrees = not said or (said == "keep") == change.kept
        mark = f'<span class="badge {"good" if agrees else "bad"}">marked {said}</span>'
        to, color = ("comes back", "kept") if change.kept else ("goes", "rejected")
        picture = self._uri(change.sha256)
        image = f'<img src="{picture}" alt="{escaped(change.source)}">' if picture else ""
        return (
            f'<figure class="card {color}">{image}<div class="body"><span class="badge plain">{to}'
            f'</span>{mark if said else ""}<div class="name">{escaped(change.source)}</div>'
            f'<div class="why">{escaped(", ".join(change.checks))}</div></div></figure>'
        )

    def _uri(self, sha256: str) -> str:
        from tagloom.v1 import filter_pb2

        if sha256 not in self._known:
            asked = filter_pb2.RenderVerdictRequest(
                name=self._request.collection,
                sha256=sha256,
                max_side=_PREVIEW,
                view=filter_pb2.RenderVerdictRequest.VIEW_PLAIN,
                thresholds=self._proposal.thresholds,
                resolution=self._request.resolution,
            )
            try:
                self._known[sha256] = jpeg_uri(self._clients.filter.RenderVerdict(asked).jpeg)
            except TagloomError:
                self._known[sha256] = ""
        return self._known[sha256]


def _tiles(proposal: filter_pb2.TuneProfileResponse) -> str:
    tiles = [_f1("F1 before", proposal.before)]
    if proposal.HasField("expected"):
        tiles.append(_f1("F1 expected (cross-validated)", proposal.expected))
        tiles.append(_share("precision expected", proposal.expected.precision))
        tiles.append(_share("recall expected", proposal.expected.recall))
    else:
        tiles.append(_f1("F1 on the marks that chose it", proposal.fitted))
    change = proposal.kept_after_count - proposal.kept_before_count
    tiles.append(
        f'<div class="tile"><b>{proposal.kept_after_count:,}</b><span>photos stay ({change:+,})'
        "</span></div>"
    )
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _f1(name: str, agreed: filter_pb2.Agreement) -> str:
    return _tile(name, f"{agreed.f1.value:.3f}", f"{agreed.f1.low:.3f} to {agreed.f1.high:.3f}")


def _share(name: str, found: filter_pb2.Estimate) -> str:
    return _tile(name, f"{found.value:.1%}", f"{found.low:.1%} to {found.high:.1%}")


def _tile(name: str, value: str, interval: str) -> str:
    return f'<div class="tile"><b>{value}</b><span>{name}<br>{interval}</span></div>'


def _table(proposal: filter_pb2.TuneProfileResponse) -> str:
    from tagloom.cli.tune import apart, between, bound

    rows = "".join(
        f"<tr><td>{escaped(check.check)}</td><td>{bound(check, check.before)}</td>"
        f"<td><b>{bound(check, check.after)}</b></td><td>{between(check)}</td>"
        f'<td>{escaped(check.unit)}</td><td class="n">{apart(check)}</td>'
        f'<td class="n">{check.mark_count:,}</td><td class="n">{check.change_count:,}</td></tr>'
        for check in proposal.checks
    )
    return (
        '<div class="scroll"><table><tr><th>Check</th><th>Before</th><th>Proposed</th>'
        '<th>90 % of proposals</th><th>Unit</th><th class="n">Tells apart</th>'
        '<th class="n">Marks</th><th class="n">Photos between</th></tr>'
        f'{rows}</table></div><p class="note">“90 % of proposals”: between which thresholds they '
        "lie when the marks are drawn anew. “Tells apart”: the chance that a photo to keep scores "
        "better than one to reject; 0.5 tells nothing. “Photos between”: of the collection, those "
        "on the other side of the new threshold.</p>"
    )


def _frontier(proposal: filter_pb2.TuneProfileResponse) -> str:
    points = sorted((point.recall, point.precision) for point in proposal.frontier)
    shown = [
        ("was", proposal.before, "before"),
        ("now", proposal.fitted, "proposed, on the marks that chose it"),
    ]
    if proposal.HasField("expected"):
        shown.append(("hope", proposal.expected, "proposed, expected of other photos"))
    dots = [
        (
            name,
            agreed.recall.value,
            agreed.precision.value,
            f"{text}: recall {agreed.recall.value:.1%}, precision {agreed.precision.value:.1%}",
        )
        for name, agreed, text in shown
    ]
    leftmost = min((x for x, _ in [*points, *((x, y) for _, x, y, _ in dots)]), default=0.0)
    lowest = min((y for _, y in [*points, *((x, y) for _, x, y, _ in dots)]), default=0.0)
    chart = line_chart(
        [("front", points)],
        (max(0.0, int(leftmost * 10 - 0.5) / 10), 1.0),
        y_range=(max(0.0, int(lowest * 10 - 0.5) / 10), 1.0),
        dots=dots,
        x_name="recall, per cent",
        x_scale=100,
    )
    ring = ", ring: expected of other photos" if proposal.HasField("expected") else ""
    return (
        '<figure class="chart"><figcaption>All checks together<small>precision over recall; grey '
        f"dot: before, blue: proposed{ring}</small></figcaption>{chart}</figure>"
    )


def _curve(check: filter_pb2.TunedCheck) -> str:
    from tagloom.cli.tune import bound

    points = sorted((p.threshold, p.precision, p.recall) for p in check.curve)
    low, high = points[0][0], points[-1][0]
    marks = [
        (name, threshold.value)
        for name, threshold in (("was", check.before), ("new", check.after))
        if threshold.enabled and low <= threshold.value <= high
    ]
    chart = line_chart(
        [
            ("precision", [(x, precision) for x, precision, _ in points]),
            ("recall", [(x, recall) for x, _, recall in points]),
        ],
        (low, high) if high > low else (low - 1, high + 1),
        marks=marks,
        x_name=f"threshold ({'at least' if check.minimum else 'at most'}), {check.unit}",
    )
    return (
        f'<figure class="chart"><figcaption>{escaped(check.check)}<small>'
        f"{bound(check, check.before)} → {bound(check, check.after)}; alone best at "
        f"{bound(check, check.alone)}: precision {check.precision:.1%}, recall "
        f"{check.recall:.1%}</small></figcaption>{chart}</figure>"
    )


def _changes(proposal: filter_pb2.TuneProfileResponse, photos: _Photos) -> str:
    shown = proposal.changes[:_SHOWN]
    if not shown:
        return '<p class="note">None: the proposal judges every photo as before.</p>'
    more = proposal.change_count - len(shown)
    tail = f'<p class="note">{more:,} more are not shown.</p>' if more else ""
    text = (
        "Those that go against a mark first, then those that nobody marked: marking these is what "
        "helps most."
    )
    return f'<p class="note">{text}</p>{_cards(shown, photos)}{tail}'


def _of_check(check: filter_pb2.TunedCheck, photos: _Photos) -> str:
    shown = check.changes[:_SHOWN_OF_CHECK]
    of = f"{len(shown)} of {check.change_count:,}" if check.change_count > len(shown) else "All"
    return (
        f"<h2>On the other side of {escaped(check.check)}</h2>"
        f'<p class="note">{of}, whatever the other checks say.</p>{_cards(shown, photos)}'
    )


def _cards(changes: Iterable[filter_pb2.SideChange], photos: _Photos) -> str:
    return f'<div class="cards">{"".join(photos.card(change) for change in changes)}</div>'
