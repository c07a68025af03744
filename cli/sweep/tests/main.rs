//! What the sweep does: tables of single runs, the ledger as text, and a simulated fleet.

mod ledger;
mod runs;
mod simulation;
