//! Small routers on ports of their own, beside that of admission.

pub mod authentication;
pub mod health;
pub mod metrics;
pub mod status_page;
