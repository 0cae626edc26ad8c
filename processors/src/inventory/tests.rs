//! What the rule of inventory decides, case by case.
