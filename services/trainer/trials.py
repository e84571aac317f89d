"""`gamma_auto`: short trainings at several weights of R1, of which the best is taken.

The best weight varies by orders of magnitude between datasets, and the heuristic is only where to
begin. A trial is the run itself, from its start and with its seed, for a few kimg; only the
half-life of G_ema is shortened, so that what is scored is what the trial has learnt. Each result is
stored as it comes, and a trial has durable states as the run has: one that was killed goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from services.trainer import records
from services.trainer.durable import DurableStates
from services.trainer.ranks import ALONE
from services.trainer.schedule import StateSchedule
from services.trainer.score import Scorer
from services.trainer.session import Session
from services.trainer.state import restore
from tagloom.artifacts import layout
from tagloom.artifacts.run import GammaTrial, Run
from tagloom.store.interface import Store
from tagloom.store.lease import LeaseLost

__all__ = ["choose_gamma", "is_undecided"]

FACTORS = (0.25, 1.0, 4.0)


def is_undecided(run: Run) -> bool:
    """Whether the run is to choose its gamma and has not yet."""
    return run.options.gamma_auto and not any(trial.chosen for trial in run.gamma_trials)


def choose_gamma(
    store: Store,
    run: Run,
    first: Session,
    scorer: Scorer,
    tell: Callable[[str], None],
    states: StateSchedule,
) -> Run:
    """Tries what has not been tried, and writes the choice into the run, which it returns.

    first: the run at its very start, for its images.
    tell: called before every step with where the trials are; may raise to stop them, which then go
    on where they were.
    """
    heuristic = run.options.r1_gamma
    trials = list(run.gamma_trials)
    for number, factor in enumerate(FACTORS, start=1):
        gamma = heuristic * factor
        if any(trial.r1_gamma == gamma for trial in trials):
            continue
        where = f"Trial {number} of {len(FACTORS)}, r1_gamma {gamma:.4g}"
        session = _open(store, run, number, gamma, first)
        _train(store, session, partial(_tell, tell, where), states)
        score = scorer(session.step.G_ema)
        trials.append(GammaTrial(r1_gamma=gamma, kimg=session.kimg, score=score))
        run = records.update_run(store, run, gamma_trials=tuple(trials))
        for info in list(store.iterate(session.state_prefix)):
            store.delete(info.key)
    best = min(trials, key=lambda trial: trial.score.value)
    chosen = tuple(trial.model_copy(update={"chosen": trial is best}) for trial in trials)
    options = run.options.model_copy(update={"r1_gamma": best.r1_gamma})
    return records.update_run(
        store, run, gamma_trials=chosen, options=options, message=_sentence(chosen)
    )


def _tell(tell: Callable[[str], None], where: str, at: str) -> None:
    tell(f"{where}: {at}")


def _open(store: Store, run: Run, number: int, gamma: float, first: Session) -> Session:
    """The trial where it was interrupted, or at its start."""
    kimg = run.options.gamma_trial_kimg
    options = run.options.model_copy(
        update={"r1_gamma": gamma, "kimg": kimg, "ema_kimg": min(run.options.ema_kimg, kimg / 4)}
    )
    trial = run.model_copy(update={"options": options})
    session = Session.create(store, trial, first.images, ALONE)
    session.state_prefix = layout.trial_state_prefix(run.id, number)
    restore(store, session)
    return session


def _train(
    store: Store, session: Session, tell: Callable[[str], None], schedule: StateSchedule
) -> None:
    with DurableStates(store, session, schedule) as states:
        while not session.done:
            try:
                tell(f"{session.kimg:.3g} of {session.run.options.kimg:.3g} kimg.")
            except LeaseLost:
                raise
            except Exception:
                states.save()
                raise
            session.advance()
            states.keep_up()


def _sentence(trials: tuple[GammaTrial, ...]) -> str:
    """What was seen, and whether it was enough to tell the values apart."""
    ranked = sorted(trials, key=lambda trial: trial.score.value)
    best, second = ranked[0], ranked[1]
    seen = ", ".join(
        f"{t.r1_gamma:.4g} gave {t.score.value:.4g} [{t.score.low:.4g}, {t.score.high:.4g}]"
        for t in sorted(trials, key=lambda trial: trial.r1_gamma)
    )
    sentence = (
        f"r1_gamma {best.r1_gamma:.4g} was chosen by {best.score.metric} after trials of "
        f"{best.kimg:.3g} kimg: {seen}"
    )
    if best.score.high < second.score.low:
        return f"{sentence}."
    return f"{sentence}; the intervals overlap, so the difference may be chance."
