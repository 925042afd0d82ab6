"""Stages: the settings of each verb."""
