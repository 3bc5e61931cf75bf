"""`spv analytics`: the tables for analysts."""

import click

from spv_platform.cli import echo_json, json_option
from spv_platform.cli.common import open_platform

TENANT = click.option("--tenant", required=True, help="Whose tables they are.")


@click.group()
def analytics() -> None:
    """Tables for analysts: pseudonymous, dates shifted, small cells suppressed, under a key of their own.

    They lie in the lake bucket under TENANT/analytics/ as Delta tables; docs/tables.md says what is in them.
    """


@analytics.command()
@TENANT
@json_option
def build(tenant: str, as_json: bool) -> None:
    """Make the tables anew from the newest publication; Dagster does so each night."""
    import dataclasses

    from spv_platform.pipeline.analytics import build_analytics

    report = build_analytics(open_platform(), tenant)
    if as_json:
        echo_json({"tenant": tenant, **dataclasses.asdict(report)})
        return
    if not report.publication:
        click.echo(f"nothing of {tenant} is published yet: no tables were made")
        return
    counts = ", ".join(f"{name} {rows}" for name, rows in report.rows.items())
    click.echo(f"from publication {report.publication}: {counts} rows; {report.left_out} persons opted out")


@analytics.command()
@TENANT
@json_option
def key(tenant: str, as_json: bool) -> None:
    """Print what analysts open the tables with: address, and the key that the store encrypts them with.

    \b
    The key opens nothing else of the tenant. In Polars:
      polars.read_delta(ADDRESS + "/person", storage_options={
          "aws_server_side_encryption": "sse-c", "aws_sse_customer_key_base64": KEY, ...})

    The embedded store has an S3 credential that reads analyst tables only, which is printed too; elsewhere give
    analysts one that reads TENANT/analytics/ only. The access is audited.
    """
    import base64
    import getpass

    from spv_platform.analytics.store import PREFIX
    from spv_platform.pipeline.analytics import store_key

    platform = open_platform()
    text = base64.b64encode(store_key(platform, tenant, who=getpass.getuser())).decode()
    settings = platform.settings
    found = {"address": settings.lake_url(tenant, PREFIX), "key": text}
    if settings.analyst_access_key_id:
        found |= {
            "endpoint": settings.s3_endpoint,
            "access_key_id": settings.analyst_access_key_id,
            "secret_access_key": settings.analyst_secret_access_key,
        }
    if as_json:
        echo_json({"tenant": tenant, **found})
        return
    for name, value in found.items():
        click.echo(f"{name:<18} {value}")
