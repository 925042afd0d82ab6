"""Testing: runs one stage, or a whole pipeline, on records given by a test."""

from rsq_pipe.testing.pipeline import run_pipeline
from rsq_pipe.testing.runs import Dead, PipelineRun, Retried, StageRun
from rsq_pipe.testing.stage import run_stage

__all__ = ["Dead", "PipelineRun", "Retried", "StageRun", "run_pipeline", "run_stage"]
