"""spv_platform: encrypted EMR files in, one explainable view of each patient and trial eligibility out."""

__version__ = "0.1.0"
