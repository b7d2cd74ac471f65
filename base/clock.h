// Monotonic time.
#pragma once

double clock_seconds(void); // since an arbitrary start, never goes back
