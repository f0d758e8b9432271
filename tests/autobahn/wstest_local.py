"""wstest, fit for a harness. Python 2, as autobahntestsuite is; same arguments as wstest.

What a case expects and how it is judged stays untouched. Changed is what surrounds it:

- servers listen on loopback only;
- the fuzzing server takes any port in Host: through a gateway that keeps Host, it is the gateway's;
- the fuzzing client asks for /<case id> instead of /, so that the case is known to the peer and in the gateway's log;
- no case lasts longer than CASE_SECONDS (some would wait 1000 s for an echo that never comes);
- reports are written even when a run is cut short by SIGTERM.
"""

import functools
import os

import autobahntestsuite.choosereactor  # must come before anything of Twisted's
from twisted.internet import reactor

from autobahntestsuite import fuzzing, wstest

CASE_SECONDS = float(os.environ.get("CASE_SECONDS", "60"))

fuzzing.listenWS = functools.partial(fuzzing.listenWS, interface="127.0.0.1")

close_after = fuzzing.FuzzingProtocol.closeAfter.im_func
fuzzing.FuzzingProtocol.closeAfter = lambda self, delay: close_after(self, min(delay, CASE_SECONDS))

next_case = fuzzing.FuzzingClientFactory.nextCase.im_func


def next_case_with_its_path(self):
    more = next_case(self)
    if more:
        self.resource = "/" + str(self.currentCaseId)
    return more


fuzzing.FuzzingClientFactory.nextCase = next_case_with_its_path

create_reports = fuzzing.FuzzingFactory.createReports.im_func


def create_reports_once(self, *args, **kwargs):
    self.reported = True
    create_reports(self, *args, **kwargs)


def report_at_the_latest_when_stopped(factory):
    factory.reported = False

    def stopping():
        if not factory.reported:
            create_reports(factory)

    reactor.addSystemEventTrigger("before", "shutdown", stopping)


fuzzing.FuzzingFactory.createReports = create_reports_once

server_init = fuzzing.FuzzingServerFactory.__init__.im_func
client_init = fuzzing.FuzzingClientFactory.__init__.im_func


def init_server(self, *args, **kwargs):
    server_init(self, *args, **kwargs)
    self.externalPort = None
    report_at_the_latest_when_stopped(self)


def init_client(self, *args, **kwargs):
    report_at_the_latest_when_stopped(self)
    client_init(self, *args, **kwargs)


fuzzing.FuzzingServerFactory.__init__ = init_server
fuzzing.FuzzingClientFactory.__init__ = init_client

wstest.run()
