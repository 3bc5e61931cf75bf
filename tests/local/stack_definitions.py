"""Small definitions that the code server of a test loads: one run that ends, one that does not."""

import threading

import dagster as dg


@dg.asset
def quick() -> None:
    print("said by quick")  # noqa: T201 - is looked for in the compute logs


@dg.asset
def endless() -> None:
    threading.Event().wait()


@dg.sensor(target=[quick, endless], default_status=dg.DefaultSensorStatus.RUNNING)
def both(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    requests = [
        dg.RunRequest(run_key=asset.key.to_user_string(), asset_selection=[asset.key]) for asset in (quick, endless)
    ]
    return dg.SensorResult(run_requests=[] if context.cursor else requests, cursor="done")


defs = dg.Definitions(assets=[quick, endless], sensors=[both], executor=dg.in_process_executor)
