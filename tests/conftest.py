"""The first module of the tests to be loaded: eventlet is blocked before any OpenStack library can import it."""

from lite_common import service

service.no_eventlet()
