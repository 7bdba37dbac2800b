// The executable. Everything is in ApusCommand.

import ApusCommand

Apus.main()
