"""Small pipelines with a loop, an exit handler, retries.

Annotations must not be strings here: the SDK reads them.
"""

from kfp import dsl

__all__ = ["sleeper", "stubborn", "sums"]


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def numbers(count: int) -> list[int]:
    return list(range(count))


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def double(value: int, table: dsl.Output[dsl.Metrics]) -> int:
    table.log_metric("doubled", 2 * value)
    return 2 * value


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def total(values: list[int]) -> int:
    return sum(values)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def fail_until(marker: str, attempts: int) -> str:
    import pathlib

    path = pathlib.Path(marker)
    count = len(path.read_text()) if path.exists() else 0
    path.write_text("x" * (count + 1))
    if count < attempts:
        raise RuntimeError("not yet")
    return "done"


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def tell(status: dsl.PipelineTaskFinalStatus) -> str:
    return f"{status.state} of {status.pipeline_task_name}: {status.error_message}"


@dsl.pipeline(name="sums")
def sums(count: int = 3) -> None:
    listed = numbers(count=count)
    with dsl.ParallelFor(listed.output) as value:
        doubled = double(value=value)
    added = total(values=dsl.Collected(doubled.outputs["Output"]))
    listed.set_caching_options(True)
    for task in (doubled, added):
        task.set_caching_options(False)


@dsl.pipeline(name="stubborn")
def stubborn(marker: str, attempts: int) -> None:
    closing = tell()
    closing.set_caching_options(False)
    with dsl.ExitHandler(closing):
        first = fail_until(marker=marker, attempts=attempts)
        first.set_caching_options(False).set_retry(2, backoff_duration="4s", backoff_factor=3.0)
        total(values=[1]).after(first).set_caching_options(False)


@dsl.component(base_image="python:3.11", install_kfp_package=False)
def sleep() -> None:
    import time

    time.sleep(600)


@dsl.pipeline(name="sleeper")
def sleeper() -> None:
    sleep()
