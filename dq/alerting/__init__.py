"""Alerting: incidents become messages, and messages leave through a durable outbox.

fold      what a closed run says about the incidents (pure), written down in the caller's transaction
routing   which channels an incident belongs to (pure)
reason    why a channel must be told something now (pure)
messages  incidents as one neutral message (pure)
config    alerting/routes.toml as frozen values
pump      what every channel should know, derived under a lease, sent and settled
"""
