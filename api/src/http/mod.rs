//! HTTP, whatever the routes: problems, bodies, who asks, keys, versions, pages, limits.

pub mod auth;
pub mod cursor;
pub mod etag;
pub mod extract;
pub mod idempotency;
pub mod json;
pub mod limits;
pub mod metrics;
pub mod position;
pub mod prefer;
pub mod problem;
pub mod request;
pub mod sse;
