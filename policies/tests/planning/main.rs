//! Eligibility, placement, planner and check, by example and by property.

mod checking;
mod common;
mod eligibility;
mod examples;
mod placement;
mod properties;
