"""Webhooks: ``Webhooks`` makes, changes and shows them; ``Deliveries`` brings events to their targets."""

from naru.services.webhooks.deliveries import Deliveries
from naru.services.webhooks.policies import WantedTarget, WantedWebhook, Webhooks

__all__ = ["Deliveries", "WantedTarget", "WantedWebhook", "Webhooks"]
