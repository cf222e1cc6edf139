"""What is optimised: prompt files, the edits to them, the guards on an edit, and the patch for a person."""
