"""Testing: run one stage, or a whole pipeline, on records given by a test."""

from rsq_pipe.testing.failed import Dead, Retried
from rsq_pipe.testing.pipeline import run_pipeline
from rsq_pipe.testing.pipeline_run import PipelineRun
from rsq_pipe.testing.stage import run_stage
from rsq_pipe.testing.stage_run import StageRun

__all__ = ["Dead", "PipelineRun", "Retried", "StageRun", "run_pipeline", "run_stage"]
