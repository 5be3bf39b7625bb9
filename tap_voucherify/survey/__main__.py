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
from tap_voucherify.survey.evidence import Evidence, Sample
from tap_voucherify.survey.plan import first_probes, last_probes, plain_probes
from tap_voucherify.survey.probes import FULL, PLAIN
from tap_voucherify.survey.report import report
from tap_voucherify.survey.runner import ProbeRunner, SingleAttempts
from tap_voucherify.tap import TapVoucherify
from tap_voucherify.windows import Window

if t.TYPE_CHECKING:
    import click

# Without start_date: enough rows for most questions, and not too many on a large account.
DAYS = 7
# After a signal, a call to delete an export may take this long.
STALL_SECONDS = 30


class SurveyTap(TapVoucherify):
    """The tap, with its settings, session and error messages, and a survey as its command."""

    stream_classes = STREAMS

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        """Return a command whose only option is --config."""
        command = super().get_singer_command()
        command.params = [each for each in command.params if each.name == "config"]
        command.help = "Test what Voucherify's documentation leaves open, and print a report."
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
        session, config = self.session, self.config
        end = session.bounds.end_date or session.now
        window = Window(session.bounds.start_date or end - dt.timedelta(days=DAYS), end)
        api_url = urlsplit(config.get("api_url") or API_URLS[config["region"]])
        evidence = Evidence(window.bounds_as_text, api_url.hostname or "")
        try:
            self._collect(evidence)
        except Interruption as error:
            self.logger.warning("%s; there is no report", error)
            return error.exit_code
        if evidence.downloaded or not evidence.account_error:
            calls = session.client.calls.total()
            text = report(evidence, version=self.plugin_version, calls=calls)
            sys.stdout.write(f"{self.secrets.redact(text)}\n")
        for probe in evidence.downloaded:
            for file in probe.files:
                file.close()
        if evidence.account_error:
            raise AccountError(evidence.account_error)
        if not evidence.downloaded:
            raise RequestError("No export could be read; the report says why")
        return 0

    def _collect(self, evidence: Evidence) -> None:
        """Make all exports and collect what they show."""
        session, created = self.session, evidence.created
        session.client.on_response = lambda *response: evidence.responses.append(response)
        session.client.retry = SingleAttempts(session.clock, 0)
        try:
            evidence.schemas = schemas_by_object(session.api.metadata_schemas())
        except (AccountError, StreamError) as error:
            evidence.schemas_error = one_line(error)
        runner = ProbeRunner(session, self.config, evidence)
        runner.run(first_probes(*created))
        runner.run(plain_probes(*created, evidence.probes))
        plain = {probe.exported_object: probe for probe in evidence.of_role(PLAIN)}
        evidence.samples = [
            Sample(stream, full, plain.get(full.exported_object))
            for stream, full in zip(STREAMS, evidence.of_role(FULL), strict=True)
        ]
        runner.run(last_probes(evidence.samples))
        evidence.now = session.clock.now()


if __name__ == "__main__":
    SurveyTap.cli()
