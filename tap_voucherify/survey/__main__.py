"""Run a survey: `python -m tap_voucherify.survey --config=config.json`."""

from __future__ import annotations

import datetime as dt
import sys
import typing as t
from urllib.parse import urlsplit

from typing_extensions import override

from tap_voucherify.clock import Clock
from tap_voucherify.errors import AccountError, Interruption, RequestError, StreamError, one_line
from tap_voucherify.files.metadata import schemas_by_object
from tap_voucherify.settings import API_URLS
from tap_voucherify.singer.signals import StopFlag
from tap_voucherify.streams import STREAMS
from tap_voucherify.survey.evidence import Evidence
from tap_voucherify.survey.probes import FULL, PLAIN, first_probes, last_probes, plain_probes
from tap_voucherify.survey.report import report
from tap_voucherify.survey.runner import ProbeRunner, SingleAttempts
from tap_voucherify.survey.sample import Sample
from tap_voucherify.tap import TapVoucherify
from tap_voucherify.windows import Window

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from tap_voucherify.survey.probes import Probe

# Without start_date: enough rows for most questions, and few on a large account.
DAYS = 7
# After a signal, a call to delete an export may take this long.
STALL_SECONDS = 30


class SurveyTap(TapVoucherify):
    """The tap's settings, session and error messages, with a survey as its command."""

    stream_classes = STREAMS

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """Return a command whose only option is --config."""
        command = super().get_singer_command()
        command.params = [each for each in command.params if each.name == "config"]
        command.help = "Ask Voucherify what its documentation leaves open, and print a report."
        return command

    @override
    def _setup_signal_handlers(self) -> None:
        """Let a signal end the survey once its exports are deleted."""
        self.session.stop = StopFlag(Clock(), self.session.client.calls.total, STALL_SECONDS)
        super()._setup_signal_handlers()

    @override
    def run(self) -> int:
        """Print the report and return the exit code.

        Raises:
            AccountError: If Voucherify rejects the account.
            RequestError: If no export could be read.
        """
        runner = ProbeRunner(self.session, self.config)
        try:
            evidence = self._ask(runner)
        except Interruption as error:
            self.logger.warning("%s; there is no report", error)
            return error.exit_code
        if evidence.downloaded or not runner.account_error:
            text = report(
                evidence,
                version=self.plugin_version,
                calls=self.session.client.calls.total(),
                undeleted=runner.undeleted,
            )
            sys.stdout.write(f"{self.secrets.redact(text)}\n")
        for probe in evidence.probes:
            probe.close()
        if runner.account_error:
            raise AccountError(runner.account_error)
        if not evidence.downloaded:
            raise RequestError("No export could be read; the report says why")
        return 0

    def _ask(self, runner: ProbeRunner) -> Evidence:
        """Make all exports, and return what they show."""
        session, config = self.session, self.config
        bounds = session.bounds
        end = bounds.end_date or session.now
        window = Window(bounds.start_date or end - dt.timedelta(days=DAYS), end)
        evidence = Evidence(window, urlsplit(config.get("api_url") or API_URLS[config["region"]]))
        session.client.on_response = lambda label, headers: evidence.responses.append(
            (label, headers)
        )
        session.client.retry = SingleAttempts(session.clock, 0)
        try:
            evidence.schemas = schemas_by_object(session.api.metadata_schemas())
        except (AccountError, StreamError) as error:
            evidence.schemas_error = one_line(error)
        first = list(first_probes(STREAMS, window))
        runner.run(first)
        plain = list(plain_probes(STREAMS, window, first))
        runner.run(plain)
        evidence.samples = list(_samples([*first, *plain]))
        last = list(last_probes(evidence.samples))
        runner.run(last)
        evidence.probes = [*first, *plain, *last]
        evidence.now = session.clock.now()
        evidence.list_error = runner.list_error
        return evidence


def _samples(probes: Iterable[Probe]) -> t.Iterator[Sample]:
    by_role = {(probe.role, probe.exported_object): probe for probe in probes}
    for stream in STREAMS:
        name = stream.exported_object
        yield Sample(stream, by_role[FULL, name], by_role.get((PLAIN, name)))


if __name__ == "__main__":
    SurveyTap.cli()
