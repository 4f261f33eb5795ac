"""Demonstrations: promises of stakan, each kept before your eyes by the code that keeps it in a running bot."""

from stakan.apps.prove.run import claim_of, demonstrations, prove
from stakan.apps.prove.story import Observation, Proof, Story

__all__ = ["Observation", "Proof", "Story", "claim_of", "demonstrations", "prove"]
