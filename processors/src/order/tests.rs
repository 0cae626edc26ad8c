//! What the rule of order decides, case by case.
