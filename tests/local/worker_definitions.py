"""Small definitions that the workers of a test load: jobs that end, fail, and do not end."""

import os
import threading

import dagster as dg


@dg.op
def say_process(context: dg.OpExecutionContext) -> None:
    context.log.info(f"process {os.getpid()}")


@dg.op
def fail() -> None:
    raise dg.Failure("on purpose")


@dg.op
def wait() -> None:
    threading.Event().wait()


@dg.job(executor_def=dg.in_process_executor)
def quick() -> None:
    say_process()


@dg.job(executor_def=dg.in_process_executor)
def failing() -> None:
    fail()


@dg.job(executor_def=dg.in_process_executor)
def endless() -> None:
    wait()


defs = dg.Definitions(jobs=[quick, failing, endless])
