"""Stages: what a file may say of each verb."""
