"""The page where an operator watches migrations and acts: plain HTML below /ui. The one place that knows Jinja2."""

from s3import.server.page.application import create_page

__all__ = ["create_page"]
