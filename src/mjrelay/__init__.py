"""Typed clients and a conformance suite for Midjourney relays."""
