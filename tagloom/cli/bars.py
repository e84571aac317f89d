"""Progress on stderr: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tagloom.cli.output import count, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from tagloom.client.clients import Progress as OnProgress
    from tagloom.v1 import operation_pb2

__all__ = ["Bars", "remaining", "show_event"]

_QUIET_S = 15.0
"""without a terminal: at most one line a bar in so many seconds, unless its phase changes"""
_LONGEST_NOTE = 200


class Bars:
    """One bar a piece of work, named by a title. Use as a context manager."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, tuple[str, float]] = {}
        self.failed = False
        """whether a step's failure was shown"""

    def __enter__(self) -> Self:
        if self._terminal:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn
            from rich.table import Column

            def text(template: str, style: str = "none", **options: Any) -> TextColumn:
                # No markup: a file may be called "[red]" or "[/]".
                column = Column(no_wrap=True, **options)
                return TextColumn(template, style=style, markup=False, table_column=column)

            # Narrow terminals: the note gives way first, then the title; the bar stays.
            self._progress = Progress(
                TextColumn("{task.fields[mark]}", table_column=Column(no_wrap=True)),
                text("{task.description}", "bold", max_width=28),
                BarColumn(bar_width=18, table_column=Column(min_width=18)),
                text("{task.fields[amount]}", min_width=5),
                text("{task.fields[left]}", "cyan", min_width=9),
                text("{task.fields[note]}", "dim", ratio=1, overflow="ellipsis"),
                console=Console(stderr=True),
                refresh_per_second=8,
                expand=True,
            )
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def show(
        self, title: str, phase: str, done: int, total: int, eta_s: float | None, note: str
    ) -> None:
        """Where the work called `title` is."""
        note = printable(note, _LONGEST_NOTE)
        amount = _amount(done, total)
        left = "" if eta_s is None else f"{remaining(eta_s)} left"
        if self._progress is None:
            self._line(title, phase, " ".join(x for x in (amount, left, note) if x))
            return
        self._progress.update(
            self._task(title),
            completed=done,
            total=total or None,
            mark=" ",
            amount=amount,
            left=left,
            note=f"{phase}: {note}" if phase and note else phase or note,
        )

    def end(self, title: str, sentence: str, *, ok: bool = True) -> None:
        """The work called `title` is over."""
        sentence = printable(sentence)
        if self._progress is None:
            self._told.pop(title, None)
            print(f"{title}: {sentence}", file=sys.stderr, flush=True)
            return
        self._progress.update(
            self._task(title),
            total=1,
            completed=1 if ok else 0,
            mark="[green]✓" if ok else "[red]✗",
            amount="",
            left="",
            note=sentence,
        )

    def follow(self, title: str) -> OnProgress:
        """For `clients.wait(…, on_progress=bars.follow("train"))`."""

        def show(metadata: operation_pb2.OperationMetadata) -> None:
            if metadata.phase in ("failed", "cancelled"):
                return  # the command itself ends with the sentence
            # What was expected can be more than there was, such as posts that two hashtags share.
            done = metadata.total if metadata.phase == "succeeded" else metadata.done
            eta_s = metadata.eta.ToMilliseconds() / 1000 if metadata.HasField("eta") else None
            note = metadata.last_message
            if metadata.HasField("wait"):
                # How long comes first: on a narrow terminal the sentence is cut.
                if metadata.wait.HasField("until"):
                    eta_s = metadata.wait.until.ToMilliseconds() / 1000 - time.time()
                note += _still_to_take(metadata.wait)
            self.show(title, metadata.phase, done, metadata.total, eta_s, note)

        return show

    def _task(self, title: str) -> TaskID:
        assert self._progress is not None
        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(
                title, total=None, mark=" ", amount="", left="", note=""
            )
        return self._tasks[title]

    def _line(self, title: str, phase: str, text: str) -> None:
        if not phase and not text:
            return
        told_phase, told_at = self._told.get(title, ("", float("-inf")))
        now = time.monotonic()
        if phase == told_phase and now - told_at < _QUIET_S:
            return
        self._told[title] = (phase, now)
        print(f"{title}: {phase} {text}".rstrip(), file=sys.stderr, flush=True)


def show_event(bars: Bars, event: Any) -> None:
    """What a step of the pipeline told (`pipelines.steps.events`)."""
    title = f"{event.step} ({event.label})" if event.label else event.step
    if event.kind == "started":
        bars.show(title, "", 0, 0, None, "")
    elif event.kind == "progressed":
        bars.show(title, event.phase, event.done, event.total, event.eta_s, event.message)
    elif event.kind == "finished":
        how = "there already" if event.reused else f"{event.seconds:.0f} s"
        bars.end(title, f"{event.sentence} ({how})" if event.sentence else how)
    elif event.kind == "failed":
        # The first failure is the command's own error, told in full at its end.
        first, bars.failed = not bars.failed, True
        bars.end(title, "failed" if first else f"failed: {event.message}", ok=False)


def _still_to_take(wait: operation_pb2.Wait) -> str:
    if not wait.HasField("posts_left"):
        return ""
    images = f", about {count(wait.images_left, 'image')}" if wait.HasField("images_left") else ""
    return f"; {count(wait.posts_left, 'post')}{images} to come"


def _amount(done: int, total: int) -> str:
    if not total:
        return f"{done:,}" if done else ""
    return f"{min(100, 100 * done / total):3.0f} %"


def remaining(seconds: float) -> str:
    """`0:42`, `12:05`, `1:02:05`."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
