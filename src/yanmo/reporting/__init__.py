"""What people see while work goes on and after it: progress, messages, metrics, charts, reports."""
