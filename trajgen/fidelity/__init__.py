"""The world model against a real world, step by step.

Teacher-forced: along the real calls of each seed, and beside them calls that should not
work, the model says what the real world says, or it does not; then it is told the truth and
goes on. On-policy: an agent plays in the model's world, and its calls are made again in the
real one.

Crash rule: measuring writes nothing; a run that requires it keeps the figures it got.
"""
