//! The spool on a simulated disk: crashes, damage, failing writes.

mod caps;
mod crash;
mod damage;
mod faults;
mod stage;
