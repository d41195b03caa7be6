//! Placeholder line replaced below.
