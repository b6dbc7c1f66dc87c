//! Small routers on ports of their own, beside that of admission.

pub mod health;
pub mod metrics;
