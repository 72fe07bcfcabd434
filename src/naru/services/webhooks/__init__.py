"""Webhooks: ``Webhooks`` makes, changes and shows them; ``Deliveries`` brings events to their targets."""

from naru.db.webhooks.history import Delivery, Filter, TryRow
from naru.db.webhooks.policies import Target, Webhook
from naru.services.webhooks.deliveries import Deliveries
from naru.services.webhooks.pacing import Pacer
from naru.services.webhooks.policies import WantedTarget, WantedWebhook, Webhooks
from naru.services.webhooks.sending import Sender

__all__ = [
    "Deliveries",
    "Delivery",
    "Filter",
    "Pacer",
    "Sender",
    "Target",
    "TryRow",
    "WantedTarget",
    "WantedWebhook",
    "Webhook",
    "Webhooks",
]
