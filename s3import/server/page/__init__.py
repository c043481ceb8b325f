"""The page where an operator watches migrations and acts: plain HTML below /ui. The one place that knows Jinja2."""
