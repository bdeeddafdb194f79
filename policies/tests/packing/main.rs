//! Whole fleets: emptied at once, or in waves. Each plan is looked at by the checker, which shares no code with the planner.

mod by_hand;
mod common;
mod even;
mod exact;
mod examples;
mod properties;
mod room;
mod scrambled;
mod times;
mod wide;
