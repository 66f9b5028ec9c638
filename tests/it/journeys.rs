//! What users do from beginning to end.

mod backup;
mod carry_over;
mod command_line;
mod first_start;
mod main_job;
mod metrics;
mod operating;
mod restarts;
mod retention;
mod retries;
mod shutdown;
mod tampering;
mod telemetry;
mod troubled_webhooks;
