"""What the failures of os-brick and iscsiadm mean, in words that say what to do."""

from __future__ import annotations

from os_brick import exception as brick_errors
from oslo_concurrency import processutils

from lite_common import errors as base_errors
from nova_lite.virt import errors
from nova_lite.volume import brick_commands
from nova_lite.volume.connection_info import IscsiVolume

# What os-brick raises.
RAISED = (brick_errors.BrickException, processutils.ProcessExecutionError)


def of_connect(
    volume: IscsiVolume,
    initiator: str,
    login_timeout: int,
    logins: list[processutils.ProcessExecutionError],
    err: Exception,
) -> base_errors.LiteError:
    """The error for a connect or an extend that failed with `err`, after these logins that failed."""
    if logins:
        return _of_login(volume, initiator, login_timeout, logins[0])
    if isinstance(err, brick_errors.VolumeDeviceNotFound):
        reason = f"the login worked, but LUN {volume.lun} of {volume.iqn} did not appear. Check the export."
    else:
        reason = words(err)
    return errors.DeviceMissing(volume=volume.volume_id, reason=reason)


def _of_login(
    volume: IscsiVolume, initiator: str, login_timeout: int, err: processutils.ProcessExecutionError
) -> base_errors.LiteError:
    code = err.exit_code
    if code in brick_commands.NO_DAEMON:
        return errors.InitiatorUnfit(reason="iscsid does not answer. Start it: systemctl start iscsid.socket iscsid")
    if code == brick_commands.NO_TRANSPORT:
        return errors.InitiatorUnfit(reason="the module iscsi_tcp could not be loaded. Run modprobe iscsi_tcp.")
    if code == brick_commands.LOGIN_TIMEOUT or isinstance(err, brick_errors.ExecutionTimeout):
        reason = f"no login within {login_timeout} s"
        return errors.PortalUnreachable(portal=volume.portal, iqn=volume.iqn, reason=reason)
    return errors.LoginRefused(portal=volume.portal, iqn=volume.iqn, initiator=initiator, reason=words(err))


def words(err: BaseException) -> str:
    """What went wrong on one line: a command's own words before the library's."""
    if isinstance(err, processutils.ProcessExecutionError):
        text = (err.stderr or err.description or "").strip() or f"exit code {err.exit_code}"
        return " ".join(text.split())
    if isinstance(err, brick_errors.ExceptionChainer):
        return "; ".join(words(one[1]) for one in err._exceptions)
    return " ".join(str(err).split())
