"""使用申请: one application, one scenario. The operator checks (核查), every owning department approves (审核)."""
