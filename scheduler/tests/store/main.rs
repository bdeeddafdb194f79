//! The store on both of its engines, each with a real database: every story is told on SQLite and on PostgreSQL.

#[path = "../common/postgres.rs"]
mod postgres;

mod crash;
mod deciding;
mod drills;
mod listing;
mod place;
mod samples;
mod schema;
mod telling;
mod threads;
mod upgrade;
